"""Docker, and only here: images, network, containers, their life and their end."""
