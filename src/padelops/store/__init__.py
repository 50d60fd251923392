"""The only room that knows SQL. Functions here take the connection first, and never commit."""
