"""`python -m instruct_imagen.cli`: the command without its entry point."""

from instruct_imagen.cli import main

if __name__ == "__main__":
    main()
