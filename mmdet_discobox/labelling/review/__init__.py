"""What a person decides about masks: on the page of labels, and in other tools."""
