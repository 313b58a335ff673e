def test_probe(place, bench):
    import time

    for words in [
        ("run", "-n"),
        ("run",),
        ("run",),
        ("status", "-v"),
        ("report",),
        ("report", "--format", "csv"),
        ("run", "-n"),
        ("list", "methods"),
    ]:
        t = time.time()
        r = bench(*words)
        print(words, r.code, round(time.time() - t, 2))
        print(r.out)
        print(r.err)
    r = bench()
    print(r)
    r = bench("list")
    print(r)
    assert 0
