"""`python -m fewshot_bench` is `bench`."""

from fewshot_bench.cli import main

if __name__ == "__main__":
    main()
