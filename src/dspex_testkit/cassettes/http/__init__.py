"""The HTTP level: providers' own traffic, recorded and replayed by vcrpy for whichever client sends it."""
