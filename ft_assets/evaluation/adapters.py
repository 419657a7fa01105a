"""The adapters beside one frozen base: many in memory, each row of a batch through its own.

Nothing here ever calls PEFT's `set_adapter`, which walks every layer and races with a running batch. PEFT loads the
first adapter of a kind and puts its layers into the base; `LoraRows` then takes the place of each linear layer's
forward, and `Kind` loads the adapters that follow. Layers of another sort (quantized, say) take the adapter of every
row as an argument, which a hook put on each of them once hands over. (PEFT's own `adapter_names` puts a hook on every
layer anew for each forward, a third of the time of one decoded token.)
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel  # noqa: TID253
from peft.tuners.lora import Linear, LoraLayer  # noqa: TID253
from torch.nn import Module  # noqa: TID253
from transformers import PreTrainedModel  # noqa: TID253

from ft_assets.errors import BrokenEnvironment, Refused, WrongInput
from ft_assets.evaluation.dora import freeze_dora
from ft_assets.evaluation.kinds import Kind, settings_of
from ft_assets.evaluation.lora_rows import LoraRows, Runs
from ft_assets.evaluation.shareable import check_shareable

_BASE = "__base__"  # PEFT's name for a row without adapter


class AdapterRack:
    """Adapters by name; names are the caller's, and may hold any character.

    Args:
        model: the frozen base; the first adapter puts LoRA layers into it.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._peft: PeftModel | None = None
        self._slots: dict[str, str] = {}
        self._folders: dict[str, Path] = {}
        self._fresh = (f"slot{number}" for number in count())  # never reused: a name cannot meet old weights
        self._in_use: Counter[str] = Counter()
        self._routes: list[str] = []
        self._runs = Runs()
        self._hooked: dict[int, LoraLayer] = {}
        self._layers: dict[str, LoraRows] = {}
        self._kinds: dict[str, Kind] = {}

    @property
    def names(self) -> list[str]:
        """Adapters in memory, sorted."""
        return sorted(self._slots)

    def add(self, name: str, folder: Path) -> None:
        """Load `adapter_config.json` and `adapter_model.safetensors`; a name already there stays as it is.

        Raises:
            WrongInput: the name holds another folder's adapter.
            BrokenEnvironment: a file is missing (a pickle is never read instead).
            Refused: the weights do not fit the base, or would change it for the adapters beside it.
        """
        if name in self._slots:
            if self._folders[name] != folder:
                raise WrongInput(f"adapter name {name} is taken by {self._folders[name]}; drop it first")
            return
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            if not (folder / file).is_file():
                raise BrokenEnvironment(f"{folder} is no adapter: it has no {file}")
        slot = next(self._fresh)
        try:
            kind = settings_of(folder)
            if kind not in self._kinds or not self._kinds[kind].load(folder, slot):
                self._load(slot, folder)
                self._kinds[kind] = Kind(self._layers, slot)
        except (RuntimeError, ValueError, KeyError) as error:
            self._undo(slot)
            reason = str(error).strip().splitlines()[0]
            raise Refused(f"the adapter in {folder} does not fit the base: {reason}") from error
        self._slots[name], self._folders[name] = slot, folder

    def drop(self, name: str) -> None:
        """Take an adapter out of memory.

        Raises:
            WrongInput: it is not there.
            Refused: a running decode uses it.
        """
        self.require(name)
        if self._in_use[name]:
            raise Refused(f"adapter {name} is answering; drop it when its answers have ended")
        self._forget(self._slots.pop(name))
        del self._folders[name]

    def require(self, name: str | None) -> None:
        """Raise WrongInput unless the adapter is in memory; None is the bare base."""
        if name is not None and name not in self._slots:
            raise WrongInput(f"adapter {name} is not loaded; loaded are: {', '.join(self.names) or 'none'}")

    @contextmanager
    def hold(self, names: Sequence[str | None]) -> Iterator[None]:
        """Keep adapters from being dropped for the length of the block."""
        for name in names:
            self.require(name)
        held = Counter(name for name in names if name is not None)
        self._in_use.update(held)
        try:
            yield
        finally:
            self._in_use.subtract(held)

    @property
    def splits_rows(self) -> bool:
        """Whether rows of several adapters may be read end to end; layers that a hook tells of rows cannot do it."""
        return not any(layer.r for layer in self._hooked.values())  # `r`: the rank of each of its adapters

    def route(self, names: Sequence[str | None], tokens: int) -> None:
        """Say which adapter each row of the next forward takes, and how many tokens each row has."""
        self._routes[:] = self._slots_of(names)
        self._runs.lay_out(self._routes, [tokens] * len(names))

    def route_packed(self, names: Sequence[str | None], lengths: Sequence[int]) -> None:
        """Say the same of rows that are read end to end, each with a length of its own."""
        slots = self._slots_of(names)
        self._routes[:] = slots[:1]
        self._runs.lay_out(slots, lengths)

    def _slots_of(self, names: Sequence[str | None]) -> list[str]:
        return [_BASE if name is None else self._slots[name] for name in names]

    def _load(self, slot: str, folder: Path) -> None:
        config = PeftConfig.from_pretrained(str(folder))
        check_shareable(config)
        config.inference_mode = True
        # On the meta device first: random initial weights would be drawn only to be overwritten.
        if self._peft is None:
            self._peft = PeftModel(self._model, config, adapter_name=slot, low_cpu_mem_usage=True)
        else:
            self._peft.add_adapter(slot, config, low_cpu_mem_usage=True)
        device = str(self._model.device)
        found = self._peft.load_adapter(str(folder), slot, torch_device=device, low_cpu_mem_usage=True)
        if wrong := [*found.missing_keys, *found.unexpected_keys]:
            raise ValueError(f"{len(wrong)} tensors are missing or unknown, such as {wrong[0]}")
        self._peft.eval().requires_grad_(False)
        self._hook(slot)

    def _hook(self, slot: str) -> None:
        assert self._peft is not None
        for name, module in self._peft.named_modules():
            if isinstance(module, LoraLayer):
                freeze_dora(module, slot)
                if module.use_dora.get(slot):
                    raise ValueError(f"DoRA of {name} knows no batch of several adapters; train it without")
            # The output layer sees a few tokens of each row only, and not those that `Runs` tells of.
            if type(module) is Linear and module is not self._model.get_output_embeddings():
                self._stand_in(name, module).adopt(slot)
            elif isinstance(module, LoraLayer) and id(module) not in self._hooked:
                assert isinstance(module, Module)  # as every layer of PEFT is
                module.register_forward_pre_hook(self._hand_over, with_kwargs=True)
                self._hooked[id(module)] = module

    def _stand_in(self, name: str, layer: Linear) -> LoraRows:
        if name not in self._layers:
            self._layers[name] = layer.forward = LoraRows(layer, self._runs)
        return self._layers[name]

    def _hand_over(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        return args, {**kwargs, "adapter_names": self._routes}

    def _undo(self, slot: str) -> None:
        """Forget an adapter that PEFT has loaded half-way, perhaps before it knew its name."""
        for module in self._model.modules():
            if isinstance(module, LoraLayer):
                module.delete_adapter(slot)
        self._forget(slot)

    def _forget(self, slot: str) -> None:
        for rows in self._layers.values():
            rows.pairs.pop(slot, None)
        if self._peft is not None and slot in self._peft.peft_config:
            self._peft.delete_adapter(slot)
