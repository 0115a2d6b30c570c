"""What happens after a release: live requests and events, and what training later sees of them."""
