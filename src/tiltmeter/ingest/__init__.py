"""What runs beside the service: spool, tables of others and job runs in, rows out."""
