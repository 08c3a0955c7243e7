"""What everybody talks about: releases, commands, their states, and events."""
