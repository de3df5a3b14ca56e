"""The routes of the embedded mode: the page of this machine chooses a model, and kills processes to see them come back."""
