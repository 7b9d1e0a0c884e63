"""The systems of the papers that define the method, reproduced with multilode.

Rooms: `makers` compute data with open codes, `datasets` describe and hold them, `systems` learn
them as the papers did, `expected` keeps what they gave, `cli` adds the commands.
Only public names of multilode are used; a test holds that.
"""
