"""Sentences of papers, each with a reading that can be tested: the files, and the judging."""
