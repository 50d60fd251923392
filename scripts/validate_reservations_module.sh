#!/bin/sh
# "Run comprehensive validation" of CRITICAL_PATHS.md: the runbook full_system_check. Health, every
# invariant of the data, indexes, and the audit trail; repairs nothing but indexes that are not valid.
#
#   ./scripts/validate_reservations_module.sh
#   ./scripts/validate_reservations_module.sh --dry-run
#
# The invariants alone: padelops validate
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
padelops=$here/.venv/bin/padelops
[ -x "$padelops" ] || padelops=padelops
exec "$padelops" runbook run full_system_check "$@"
