"""
The constraints whose breaking is an error of its own, by the names that the migrations gave them.

A test proves that these names are in the migrated database.
"""

CLAIMS_NO_OVERLAP = "claims_no_overlap"
CLAIMS_ONE_PER_KEY = "claims_one_per_key"
CLAIMS_ALLOWED_MOVES = "claims_allowed_moves"
CLAIMS_TERMS_FROZEN = "claims_terms_frozen"
