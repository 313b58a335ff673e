"""What is read of stored results, and what is checked on the way."""

import sqlite3


def damage_answers(run):
    connection = sqlite3.connect(run.database)
    connection.execute("UPDATE answers SET labels = x'00' WHERE number = 0")
    connection.commit()
    connection.close()


def test_damaged_answers_are_refused_by_what_reads_them_and_no_other(run, bench, reseal):
    damage_answers(run)
    reseal(str(run.database))
    for words in (["report", "--format", "csv"], ["doctor"]):
        ran = bench(*words)
        assert ran.code == 6, words
        assert "the answers of cell" in ran.err
        assert "episode 0, cannot be: the file was damaged or edited; restore a copy" in ran.err
        assert ran.out == ""
    for words in (["compare", "transfer", "protonet"], ["power"]):
        ran = bench(*words)
        assert ran.code == 0, ran.err
        assert ran.out
