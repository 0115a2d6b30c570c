"""What tests and benches start and share: houses, nights, servers, a browser."""
