"""Tables and plots -> one document: `report.documents`."""
