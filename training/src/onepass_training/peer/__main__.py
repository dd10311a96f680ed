"""python -m onepass_training.peer."""

from .parent import end_with_parent

# Before PyTorch is imported, which takes seconds.
end_with_parent()
print('{"here": true}', flush=True)

from .serve import main  # noqa: E402

main()
