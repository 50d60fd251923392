#!/bin/sh
# "Switch to backup database" of CRITICAL_PATHS.md: the runbook database_down. It promotes a standby only
# while nothing takes writes and no acknowledged booking can be lost, and goes on when run again.
#
#   ./scripts/failover_database.sh               asks before it promotes
#   ./scripts/failover_database.sh --dry-run     only looks
#   ./scripts/failover_database.sh --yes         without a terminal
#
# Planned, with the primary alive: padelops failover switchover
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
padelops=$here/.venv/bin/padelops
[ -x "$padelops" ] || padelops=padelops
exec "$padelops" runbook run database_down "$@"
