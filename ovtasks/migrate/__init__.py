"""``ov migrate``: files of other versions, rewritten in today's format; nothing but what has to change changes."""
