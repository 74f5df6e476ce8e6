"""What Locust runs: users, HTTP client, cold-start policy, schedules, recorder, exposition."""
