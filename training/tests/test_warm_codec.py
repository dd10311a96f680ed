"""The warm tier's graphs: the files that serve are the generator's, and numbers come back near to where they were."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from onepass_training.release.warm_codec import graphs, write_graphs

COMMITTED = Path(__file__).parents[2] / "libs" / "warm-tier" / "graphs"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    directory = tmp_path_factory.mktemp("warm-codec")
    write_graphs(directory)
    return directory


def run(path, **inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def test_the_files_that_serve_are_the_generators(written):
    assert sorted(path.name for path in COMMITTED.iterdir()) == sorted(graphs())
    for name in graphs():
        onnx.checker.check_model(str(written / name), full_check=True)
        assert (written / name).read_bytes() == (COMMITTED / name).read_bytes(), f"{name}: run the generator again"


def test_a_step_is_a_channels_own_and_numbers_come_back_within_half_of_it(written):
    random = np.random.default_rng(1)
    tensor = (random.standard_normal((60, 16)) * 10.0 ** np.arange(-8, 8) + np.arange(16)).astype(np.float32)
    tensor[:, 3] = 0.1
    packed = run(written / "i8-encode.onnx", tensor=tensor)
    assert packed["proof"] == 0
    assert packed["packed"].dtype == np.int8
    back = run(written / "i8-decode.onnx", **{name: packed[name] for name in ("packed", "step", "middle")})["tensor"]
    rounding = 2 * np.spacing(np.abs(tensor).max(0))
    assert (np.abs(back - tensor) <= packed["step"] / 2 + rounding).all()
    assert (back[:, 3] == tensor[:, 3]).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("codec", ["f32", "f16", "i8"])
def test_what_is_not_finite_is_told(written, codec, wrong):
    tensor = np.ones((5, 3), np.float32)
    path = written / f"{codec}-encode.onnx"
    assert run(path, tensor=tensor)["proof"] == 0
    tensor[2, 1] = wrong
    assert np.isnan(run(path, tensor=tensor)["proof"])


def test_what_16_bits_cannot_hold_is_told(written):
    tensor = np.full((2, 2), 65504.0, np.float32)
    assert run(written / "f16-encode.onnx", tensor=tensor)["proof"] == 0
    tensor[0, 0] = 1e5
    assert np.isnan(run(written / "f16-encode.onnx", tensor=tensor)["proof"])
    assert run(written / "f32-encode.onnx", tensor=tensor)["proof"] == 0
