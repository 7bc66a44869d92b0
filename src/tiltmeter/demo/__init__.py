"""The demo: a seeded lead-scoring company with a trained model, real requests, batch jobs and declared incidents."""
