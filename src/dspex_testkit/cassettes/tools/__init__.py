"""What the command line does with recordings: look after them, verify them, and record whole commands."""
