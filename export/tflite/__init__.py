"""The TFLite twin of a network: converted and quantised by packages of an extra of their own."""
