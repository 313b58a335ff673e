"""Tables and plots -> one document: `report.write_report`."""
