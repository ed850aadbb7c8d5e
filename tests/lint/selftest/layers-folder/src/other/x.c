// A folder of no level.
