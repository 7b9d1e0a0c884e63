"""The commands that the papers add to `multilode`, by entry points `multilode.commands`."""
