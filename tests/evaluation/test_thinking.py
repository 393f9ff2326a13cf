import tiny

from anima.config import Settings
from anima.evaluation import thinking
from anima.evaluation.harness import Request, run
from anima.home import find_home


def request(folder, **options):
    return Request(
        home=find_home(folder, {}), settings=Settings(), size="smoke", seed=0,
        judge="words", say=lambda message: None, options=options,
    )  # fmt: skip


def test_every_arm_answers_every_question_and_its_tokens_are_counted(tmp_path):
    study = thinking.study(request(tmp_path), tiny.loaded(window=4096), limit=3)
    outcome = run(study, seed=0, clock=lambda: 0.0, say=lambda message: None)
    study.close()
    assert outcome.complete
    groups = {line.group for line in outcome.lines}
    assert groups == {"one step", "two steps", "facts"}
    assert {line.arm for line in outcome.lines} == set(thinking.ARMS)
    tokens = {
        arm: sum(row["tokens"] for row in outcome.rows if row["arm"] == arm)
        for arm in thinking.ARMS
    }
    assert tokens[thinking.PLAIN] < min(tokens[thinking.THINK], tokens[thinking.BEST])
    thought = [row for row in outcome.rows if row["arm"] == thinking.THINK]
    assert all(set(row["stages"]) == {"plan", "draft", "reflect"} for row in thought)


def test_a_public_set_is_asked_where_its_file_is_given(tmp_path):
    path = tmp_path / "set.json"
    path.write_text('[{"question": "How many?", "answer": "#### 4"}]')
    study = thinking.study(request(tmp_path, gsm8k=str(path)), tiny.loaded(window=4096))
    study.close()
    assert [cell.unit for cell in study.cells if cell.group == "gsm8k"] == ["How many?"] * 3


def test_of_several_answers_the_likeliest_is_taken(tmp_path):
    stand = thinking.Stand.on(tiny.loaded(window=4096), 0)
    (question,) = thinking.arithmetic(0, 1, steps=1)
    prompt = stand._ids(question.text)
    greedy = thinking.generate_batch(stand.loaded.trunk, [prompt], limit=8)[0]
    other = [(each + 1) % 200 + 3 for each in greedy]
    assert stand._likelihood(question, greedy) > stand._likelihood(question, other)
