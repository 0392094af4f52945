"""The bulk engine: any stream of records in, batches of 100 at full quota, one outcome for every record out."""
