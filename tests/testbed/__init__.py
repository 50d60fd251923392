"""What the tests of the booking core stand on: a clock, races, raw rows, and independent checks."""
