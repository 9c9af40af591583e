"""What the test and reference.py share; the one runs without torch, the other in the runner's environment."""

NEW_TOKENS = 6  # the longest topic is two tokens, in capitals four; the end-of-text token follows
