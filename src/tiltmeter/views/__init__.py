"""What people see: dashboard, reports. Views read; they never write."""
