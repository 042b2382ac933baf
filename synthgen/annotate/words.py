"""Hold the words of the annotation guide, in English and Chinese."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GuideWords:
    """Hold the words of one language. Texts with {braces} are filled in."""

    title: str = "Annotation guide: {name}"
    task: str = "The task"
    labelled: str = "You see one sample at a time and choose the label that fits it best."
    unlabelled: str = "You see one sample at a time and say whether it is a good sample of the task."
    fields: str = "Fields of a sample"
    field: str = "Field"
    form: str = "Form"
    role: str = "Role"
    given: str = "given"
    sought: str = "to be judged"
    other: str = "belongs to the sample"
    labels: str = "Labels"
    values: str = "Values"
    no_meaning: str = "The task gives no meaning for this label; its name and its examples say what it is."
    typical: str = "Typical:"
    borderline: str = "Borderline:"
    near: str = "is {label}; close to {other}"
    no_seeds: str = "The task has no seeds of this label, so there is no example yet."
    good: str = "A good sample"
    holds: str = "All of this is true of a good sample:"
    graded: str = "From 1 to 5, for {name}: {statement}"
    examples: str = "Examples"
    unusual: str = "Unusual, and still good:"
    disagreed: str = "Where people disagreed"
    votes: str = "answers: {votes}"
    decided: str = "; decided: {answer}"
    open: str = "; not decided yet"
    uncertain: str = "Where the run is uncertain"
    uncertain_note: str = "Nobody has answered these yet. Read them twice before you decide."
    probably: str = "by the run: {shares}"
    quality: str = "quality by the judge: {quality}"
    doubt: str = "In doubt"
    not_a_sample: str = "not a sample"
    good_sample: str = "a good sample"
    always: tuple[str, ...] = (
        "Judge what is written, not what the writer may have meant.",
        "Answer alone. Do not talk about a sample before everybody has answered it.",
        "Answer {n} (not a sample) for a text that is broken, empty, in another language, no text of this task, or that "
        "shows personal data of a real person.",
        "Skip with {s} when you cannot decide after a second reading. No answer is better than a guess.",
        "Ask the person who keeps this guide when the same doubt comes up again. The next version answers it.",
    )
    when_labelled: tuple[str, ...] = (
        "Two labels fit: choose the one that the main point of the text has. Compare with the borderline examples above.",
        "No label fits: answer {n}. Do not choose the least wrong label.",
    )
    when_unlabelled: tuple[str, ...] = (
        "Answer y only if every field is right. One wrong part makes the whole sample wrong.",
        "Correct a sample with {e} when a small change makes it good. The change becomes a new sample; the old one "
        "counts as not a sample.",
        "Answer {n} when more than a small change would be needed.",
    )
    version: str = "Version {hash}"


ENGLISH = GuideWords()
CHINESE = GuideWords(
    title="标注指南：{name}",
    task="任务",
    labelled="每次显示一个样本，请选择最合适的标签。",
    unlabelled="每次显示一个样本，请判断它是不是本任务的合格样本。",
    fields="样本的字段",
    field="字段",
    form="形式",
    role="作用",
    given="已给出",
    sought="需要判断",
    other="样本的一部分",
    labels="标签",
    values="取值",
    no_meaning="任务没有说明这个标签的含义；请看它的名称和例子。",
    typical="典型例子：",
    borderline="边界例子：",
    near="是 {label}；与 {other} 相近",
    no_seeds="任务没有这个标签的种子样本，所以还没有例子。",
    good="合格的样本",
    holds="合格的样本满足以下各条：",
    graded="按 1 到 5 分衡量，{name}：{statement}",
    examples="例子",
    unusual="不常见但仍然合格：",
    disagreed="标注者意见不一的样本",
    votes="回答：{votes}",
    decided="；裁定：{answer}",
    open="；尚未裁定",
    uncertain="程序没有把握的样本",
    uncertain_note="这些样本还没有人回答。请读两遍再决定。",
    probably="程序的估计：{shares}",
    quality="评审模型给出的质量：{quality}",
    doubt="拿不准的时候",
    not_a_sample="不是样本",
    good_sample="合格样本",
    always=(
        "只看写出来的内容，不要猜写的人可能想说什么。",
        "独立回答。所有人都回答之前，不要讨论同一个样本。",
        "文字残缺、为空、语言不对、与任务无关，或含有真实人物的个人信息时，按 {n}（不是样本）。",
        "读了两遍仍不能决定时，按 {s} 跳过。不答好过乱猜。",
        "同一个疑问再次出现时，请告诉维护本指南的人。下一版会回答它。",
    ),
    when_labelled=(
        "两个标签都合适：按文字的主要内容选，并对照上面的边界例子。",
        "没有合适的标签：按 {n}，不要勉强选一个。",
    ),
    when_unlabelled=(
        "只有每个字段都正确时才按 y。一处错误，整个样本就不合格。",
        "稍加改动就能合格时，按 {e} 修改。修改后的内容成为新样本，原样本算作不是样本。",
        "需要大改时，按 {n}。",
    ),
    version="版本 {hash}",
)


def words(chinese: bool) -> GuideWords:
    return CHINESE if chinese else ENGLISH
