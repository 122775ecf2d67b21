"""How far people agree with each other and with hidden gold: figures, each with its n and its interval."""
