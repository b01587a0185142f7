"""``config.pbtxt`` of a published model: one file for the production and the embedded Triton alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from export.formats.combine import Member

__all__ = [
    "SERVED_VERSIONS",
    "attribution_config",
    "combination_config",
    "ensemble_config",
    "prediction_config",
    "tensorrt_config",
]

#: Versions of a network that stay loaded.
SERVED_VERSIONS: Final = 2
#: Emergency, routine, batch, explanation: what the gateway sends as a request's ``priority``, 1 first.
PRIORITY_LEVELS: Final = 4
DEFAULT_PRIORITY: Final = 2
_STANDS_BACK: Final = """\
# Where the backend can (the embedded Triton), explanations stand back from predictions on the processor.
parameters { key: "niceness" value: { string_value: "15" } }
"""
_GRAPH_INPUT: Final = 'input [\n  {{ name: "ecg" data_type: TYPE_FP32 dims: [ {leads}, {samples} ] }}{extra}\n]'


def _outputs(outputs: Mapping[str, tuple[int, ...]]) -> str:
    rows = [
        f'  {{ name: "{name}" data_type: TYPE_FP32 dims: [ {", ".join(map(str, shape))} ] }}'
        for name, shape in outputs.items()
    ]
    return "output [\n" + ",\n".join(rows) + "\n]"


def _batching(delay_us: int) -> str:
    levels = f"priority_levels: {PRIORITY_LEVELS} default_priority_level: {DEFAULT_PRIORITY}"
    return f"dynamic_batching {{ max_queue_delay_microseconds: {delay_us} {levels} }}"


def _common(name: str, largest_batch: int, delay_us: int, instances: int) -> str:
    return f"""name: "{name}"
backend: "onnxruntime"
max_batch_size: {largest_batch}
# The two newest versions stay loaded, so that a rollback is a change of the default and not a reload.
version_policy: {{ latest {{ num_versions: {SERVED_VERSIONS} }} }}
# Requests that wait for an instance are joined; nobody waits longer than this for company. Those of a higher priority
# (1 emergency, 2 routine, 3 batch, 4 explanation) go first.
{_batching(delay_us)}
# One thread per instance and an instance per core answers more ECGs per second than one instance with many
# threads. On a GPU serve with --model-config-name=gpu, which reads configs/gpu.pbtxt instead of this file.
instance_group [ {{ kind: KIND_CPU count: {instances} }} ]
parameters {{ key: "intra_op_thread_count" value: {{ string_value: "1" }} }}
parameters {{ key: "inter_op_thread_count" value: {{ string_value: "1" }} }}
"""


def _gpu(text: str) -> str:
    head, _, rest = text.partition("# One thread per instance")
    rest = rest[rest.index("instance_group") :]
    return head + rest.replace("kind: KIND_CPU count: 2", "kind: KIND_GPU count: 1").replace(
        "kind: KIND_CPU count: 1", "kind: KIND_GPU count: 1"
    )


def _warm_up(inputs: Mapping[str, tuple[int, ...]], batches: tuple[int, ...]) -> str:
    samples = []
    for batch in batches:
        parts = " ".join(
            f'inputs {{ key: "{name}" value: {{ data_type: TYPE_FP32 dims: [ {", ".join(map(str, shape))} ] '
            "zero_data: true } }"
            for name, shape in inputs.items()
        )
        samples.append(f'  {{ name: "batch_{batch}" batch_size: {batch} {parts} }}')
    return "model_warmup [\n" + ",\n".join(samples) + "\n]\n"


def prediction_config(name: str, leads: int, samples: int, heads: Mapping[str, int]) -> dict[str, str]:
    """``config.pbtxt`` and ``configs/gpu.pbtxt`` of a prediction graph, by path."""
    text = (
        _common(name, largest_batch=64, delay_us=500, instances=2)
        + _GRAPH_INPUT.format(leads=leads, samples=samples, extra="")
        + "\n"
        + _outputs({head: (count,) for head, count in heads.items()})
        + "\n"
        + _warm_up({"ecg": (leads, samples)}, (1, 8))
    )
    return {"config.pbtxt": text, "configs/gpu.pbtxt": _gpu(text)}


def attribution_config(name: str, leads: int, samples: int, heads: Mapping[str, int], frames: int) -> dict[str, str]:
    """The same for an attribution graph."""
    classes = sum(heads.values())
    extra = f',\n  {{ name: "target" data_type: TYPE_FP32 dims: [ {classes} ] }}'
    outputs: dict[str, tuple[int, ...]] = {head: (count,) for head, count in heads.items()}
    outputs |= {"cam": (frames,), "gradient": (leads, samples)}
    text = (
        _common(name, largest_batch=16, delay_us=500, instances=1)
        + _STANDS_BACK
        + _GRAPH_INPUT.format(leads=leads, samples=samples, extra=extra)
        + "\n"
        + _outputs(outputs)
        + "\n"
        + _warm_up({"ecg": (leads, samples), "target": (classes,)}, (1,))
    )
    return {"config.pbtxt": text, "configs/gpu.pbtxt": _gpu(text)}


def combination_config(name: str, members: Sequence[Member], heads: Mapping[str, int]) -> dict[str, str]:
    """``config.pbtxt`` of the graph that joins the members; it costs microseconds and waits for nobody."""
    inputs = {member.tensor(head): (count,) for head, count in heads.items() for member in members}
    rows = [f'  {{ name: "{key}" data_type: TYPE_FP32 dims: [ {shape[0]} ] }}' for key, shape in inputs.items()]
    text = (
        _common(name, largest_batch=64, delay_us=0, instances=1)
        + "input [\n"
        + ",\n".join(rows)
        + "\n]\n"
        + _outputs({head: (count,) for head, count in heads.items()})
        + "\n"
    )
    return {"config.pbtxt": text}


def ensemble_config(
    name: str,
    combination: str,
    version: int,
    members: Sequence[Member],
    leads: int,
    samples: int,
    heads: Mapping[str, int],
) -> dict[str, str]:
    """``config.pbtxt`` of the ensemble; every step names the version it was calibrated with."""

    def step(model: str, number: int, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
        maps = [f'      input_map {{ key: "{k}" value: "{v}" }}' for k, v in inputs.items()]
        maps += [f'      output_map {{ key: "{k}" value: "{v}" }}' for k, v in outputs.items()]
        body = "\n".join(maps)
        return f'    {{\n      model_name: "{model}"\n      model_version: {number}\n{body}\n    }}'

    steps = [step(m.name, m.version, {"ecg": "ecg"}, {head: m.tensor(head) for head in heads}) for m in members]
    tensors = [m.tensor(head) for head in heads for m in members]
    steps.append(step(combination, version, {t: t for t in tensors}, {head: head for head in heads}))
    text = (
        f'name: "{name}"\nplatform: "ensemble"\nmax_batch_size: 64\n'
        "version_policy: { latest { num_versions: 1 } }\n"
        + _GRAPH_INPUT.format(leads=leads, samples=samples, extra="")
        + "\n"
        + _outputs({head: (count,) for head, count in heads.items()})
        + "\nensemble_scheduling {\n  step [\n"
        + ",\n".join(steps)
        + "\n  ]\n}\n"
    )
    return {"config.pbtxt": text}


def tensorrt_config(
    name: str, version: int, largest_batch: int, leads: int, samples: int, heads: Mapping[str, int]
) -> dict[str, str]:
    """``configs/tensorrt.pbtxt``: the engine of one version, read under ``--model-config-name=tensorrt``."""
    text = (
        f'name: "{name}"\nbackend: "tensorrt"\ndefault_model_filename: "model.plan"\n'
        f"max_batch_size: {largest_batch}\n"
        "# Only the version whose engine was built: the others hold ONNX files alone.\n"
        f"version_policy: {{ specific {{ versions: [ {version} ] }} }}\n"
        f"{_batching(500)}\n"
        "instance_group [ { kind: KIND_GPU count: 1 } ]\n"
        + _GRAPH_INPUT.format(leads=leads, samples=samples, extra="")
        + "\n"
        + _outputs({head: (count,) for head, count in heads.items()})
        + "\n"
        + _warm_up({"ecg": (leads, samples)}, (1, min(8, largest_batch)))
    )
    return {"configs/tensorrt.pbtxt": text}
