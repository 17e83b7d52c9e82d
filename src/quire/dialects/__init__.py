"""The vendors' REST APIs: each maps wire words to engine words and back, and decides nothing."""
