"""A rendered table read again: is each number what its facts and the database say?"""
