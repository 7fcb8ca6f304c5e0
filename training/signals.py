"""What happens to training runs, told to whoever gives them a worker."""

from django.dispatch import Signal

# run: a TrainingRun that waits for a worker. Sent INSIDE the transaction that makes it wait, so
# that the job commits with the run or not at all.
run_queued = Signal()
