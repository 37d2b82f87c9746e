import asyncio
import subprocess
import sys

import pytest
import torch

from tandem import decoder
from tandem import tokenizer as tokenizers
from tandem.decoder import Decoder, Shape, adapters
from tandem.errors import Unsupported, UserError
from tandem.lm import Budget, Prices, connect
from tandem.lm.addresses import FORMS
from tandem.store import Store
from tandem.types import LM, Sampling, Text

RULES = '[[rule]]\nanswers = ["Karo", "Miro"]\n'


@pytest.fixture(autouse=True)
def own_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("TANDEM_CONFIG_DIR", str(tmp_path / "config"))
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "config").mkdir()
    (tmp_path / "rules.toml").write_text(RULES)
    return tmp_path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tokenizers.train(["Karo lies in Lusta. Miro lies in Tama."] * 20, 300)
    place = tmp_path_factory.mktemp("model")
    shape = Shape(
        made.vocabulary, layers=2, width=32, heads=4, kv_heads=2, head_width=8, mlp_width=64, context=64, eos=made.end
    )
    decoder.save(Decoder(shape, seed=3), place)
    made.save(place)
    return place


def ask(model, text="Karo lies", sampling=None, samples=range(1)):
    async def one():
        async with model:
            return await model.generate(Text(text), sampling or Sampling(max_tokens=4), samples)

    return [completion.text for completion in asyncio.run(one())]


def test_the_room_is_entered_without_torch_or_aiohttp():
    code = (
        "import sys, tandem.lm; from tandem.lm import connect, Model, Scripted; "
        "print({'torch', 'aiohttp', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_the_exported_name_is_the_function_whatever_was_imported_before():
    code = "import tandem.lm.addresses, tandem.lm; from tandem.lm import connect; sys = connect.__call__"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_unknown_export_is_an_attribute_error():
    with pytest.raises(ImportError, match="nothing"):
        exec("from tandem.lm import nothing")


@pytest.mark.parametrize("address", ["bla", "", "embeded", "locl:DIR", "bla:MODEL", "C:\\model"])
def test_an_unknown_address_is_answered_with_all_forms(address):
    with pytest.raises(UserError) as error:
        connect(address)
    assert all(form in str(error.value) for form in FORMS)


def test_a_near_miss_is_named():
    with pytest.raises(UserError, match="did you mean 'embedded'"):
        connect("embeded")


def test_a_folder_or_file_without_its_word_is_told_the_word(folder, own_configuration):
    with pytest.raises(UserError, match=f"local:{folder}"):
        connect(str(folder))
    with pytest.raises(UserError, match=f"scripted:{own_configuration}/rules.toml"):
        connect(f"{own_configuration}/rules.toml")


def test_endpoints_of_the_file_are_listed(own_configuration):
    (own_configuration / "config" / "models.toml").write_text('[big]\naddress = "http://127.0.0.1:1/v1"\nmodel = "m"\n')
    with pytest.raises(UserError, match=r"did you mean 'big'.*\n.*\n(.*\n)*.*toml here: big"):
        connect("bigg")
    model = connect("big")
    assert model.name == "m@127.0.0.1:1"
    asyncio.run(model.close())


def test_a_scripted_model_is_one_with_a_store(own_configuration):
    with Store(own_configuration / "answers.db") as store:
        model = connect(f"scripted:{own_configuration}/rules.toml", store=store)
        assert isinstance(model, LM)
        assert ask(model, sampling=Sampling(temperature=1.0), samples=range(2)) == ["Karo", "Miro"]
        again = connect(f"scripted:{own_configuration}/rules.toml", store=store)
        assert ask(again, sampling=Sampling(temperature=1.0), samples=range(2)) == ["Karo", "Miro"]
        assert again.tally["re-used"] == 2 and not again.backend.calls


def test_local_and_transformers_read_the_same_folder_the_same_way(folder):
    pytest.importorskip("transformers")
    sampling = Sampling(temperature=0.8, max_tokens=6, seed=2)
    ours = ask(connect(f"local:{folder}", precision="fp32", device="cpu"), sampling=sampling, samples=range(3))
    theirs = ask(connect(f"hf:{folder}", precision="fp32", device="cpu"), sampling=sampling, samples=range(3))
    assert ours == theirs


def test_a_run_stands_for_its_model(folder, tmp_path):
    stage = tmp_path / "run" / "03-tune"
    stage.mkdir(parents=True)
    (stage / "stage.json").write_text("{}")
    (stage / "model").symlink_to(folder)
    model = connect(f"local:{tmp_path}/run", device="cpu")
    assert model.name == connect(f"local:{folder}", device="cpu").name
    asyncio.run(model.close())


@pytest.mark.parametrize("kind", ["local", "hf"])
def test_an_adapter_changes_the_name_and_the_answers(folder, tmp_path, kind):
    if kind == "hf":
        pytest.importorskip("peft")
    tuned = decoder.load(folder)
    adapters.attach(tuned, adapters.LoRA(rank=2, alpha=64))
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if weight.requires_grad:
                weight.normal_(generator=torch.Generator().manual_seed(len(name)))
    adapters.save(tuned, tmp_path / "adapter", base=str(folder))
    plain = connect(f"{kind}:{folder}", precision="fp32", device="cpu")
    worn = connect(f"{kind}:{folder}+adapter:{tmp_path}/adapter", precision="fp32", device="cpu")
    assert plain.name != worn.name
    assert ask(plain) != ask(worn)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "no model is named"),
        ("local:", "local: no folder is named"),
        ("hf:", "hf: no folder is named"),
        ("local:+adapter:DIR", "local: no folder is named"),
        ("scripted:", "scripted: no file is named"),
        ("replay:", "replay: no file is named"),
        ("replay:#name", "replay: no file is named"),
        ("anthropic:", "no model is named"),
        ("hf:nowhere", "no such folder"),
        ("scripted:nowhere.toml", "no such file"),
        ("replay:nowhere.db", "no such file"),
        ("openai:", "no model is named"),
        ("http://127.0.0.1:1/v1", "no model is named"),
        ("openai:gpt+adapter:DIR", "models of this machine only"),
        ("embedded+adapter:nowhere", "no adapter here"),
        ("embedded+adapter:", "no adapter is named"),
        ("openai:some-model", "OPENAI_API_KEY"),
    ],
)
def test_an_address_that_leads_nowhere_says_why(address, words):
    with pytest.raises(UserError, match=words):
        connect(address)


def test_a_dry_model_needs_no_key():
    model = connect("openai:some-model", dry=True)
    assert model.count(Text("one two three")).tokens > 0
    asyncio.run(model.close())


def test_an_unknown_policy_is_refused_before_anything_is_loaded(own_configuration):
    with pytest.raises(UserError, match="own-temperatur"):
        connect("local:nowhere", allow=["own-temperatur"])


def test_what_a_model_lacks_is_refused_with_the_policy_that_allows_it(own_configuration):
    file = own_configuration / "poor.toml"
    file.write_text("[abilities]\ntemperature = false\n" + RULES)
    with pytest.raises(Unsupported, match="own-temperature"):
        ask(connect(f"scripted:{file}"), sampling=Sampling(temperature=0.7))
    assert ask(connect(f"scripted:{file}", allow=["own-temperature"]), sampling=Sampling(temperature=0.7)) == ["Karo"]


def test_models_of_this_machine_are_free_unless_prices_say_so(own_configuration):
    address = f"scripted:{own_configuration}/rules.toml"
    free = connect(address, budget=Budget(money=0))
    assert ask(free) == ["Karo"]
    name = free.name
    priced = connect(address, prices={name: Prices(1e6, 2e6)})
    assert ask(priced) == ["Karo"]
    assert priced.spent.money == 2 + 2
    with pytest.raises(UserError, match="no prices are given"):
        connect(address, prices={"another": Prices(1, 2)})
