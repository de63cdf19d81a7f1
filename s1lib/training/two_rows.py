"""Two rows of a step at once, on a CPU: a file that can be deleted whole.

Two rows with half the cores each are a fourth faster than one after the other with all of them, and
give the weights of one after the other in one thread, bit for bit. Without this file (and with
`SFTTrainer` in its place in `trainer.py`, and without the two tests of it in `test_sft.py`) the
laptop book trains 6,400 to 8,900 tokens a second in place of 11,100.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from trl import SFTTrainer

from s1lib.training.attention import settle


class TwoRows(SFTTrainer):
    """SFTTrainer in which a step's two rows run in two threads.

    Only where a row does not need all cores or the other's result: on a CPU, in one process, in
    float32 (autocast's cache of weights is shared), and with just two rows, whose gradients meet
    in a sum that is the same in either order; with more it would depend on who is first.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rows: list[dict[str, Any]] = []  # of the step at hand
        self.losses: list[torch.Tensor] = []
        self.pool: ThreadPoolExecutor | None = None

    def train(self, *args, **kwargs):
        before = torch.get_num_threads()
        half = before // 2
        alone = self.args.device.type == "cpu" and self.accelerator.num_processes == 1
        plain = self.args.gradient_accumulation_steps == 2 and not self.args.bf16
        if not (alone and plain and half):
            return super().train(*args, **kwargs)
        torch.set_num_threads(half)
        try:
            with ThreadPoolExecutor(2, "row", initializer=settle, initargs=(half,)) as self.pool:
                return super().train(*args, **kwargs)
        finally:
            self.pool = None
            torch.set_num_threads(before)

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        self.rows, total = super().get_batch_samples(epoch_iterator, num_batches, device)
        return self.rows, total

    def training_step(self, model, inputs, num_items_in_batch=None):
        """Loss and gradients of a row; with two threads, of both when the first is asked for."""
        step = super().training_step
        if self.pool is None or len(self.rows) != 2:
            return step(model, inputs, num_items_in_batch)
        if inputs is self.rows[0]:
            both = [self.pool.submit(step, model, row, num_items_in_batch) for row in self.rows]
            self.losses = [one.result() for one in both]
        return self.losses.pop(0)
