#!/usr/bin/env bash
# From a file of a domain's rows to a training set, its control, and a comparison with the base
# model: what to begin with, and to change. Without any setting it runs on the samples beside it.
#
#   INPUT=mine.json QUESTIONS=ask.txt TEST=exam.json GENERAL=alpaca_zh.json BUDGET=2M-tokens \
#     MODEL=Qwen/Qwen2.5-0.5B TRAIN=yes bash mixtures/domain_recipe.sh
#
# Why so: rows towards questions win, and coverage by clusters does (arXiv 2503.01807, 2409.11378);
# a choice has proved itself when it beats random rows of as many tokens and the base model.
set -euo pipefail

samples=$(dirname "${BASH_SOURCE[0]}")/samples
INPUT=${INPUT:-$samples/huatuo.json}         # rows of the domain: any file that curate reads
QUESTIONS=${QUESTIONS:-}                     # like those that the model will get, not those of TEST
TEST=${TEST:-}                               # what it is tested on; without, 10 % of the rows
GENERAL=${GENERAL:-$samples/alpaca_zh.json}  # so that it forgets less of what it knew
BUDGET=${BUDGET:-50%-tokens}                 # of the domain: 10%-tokens, 2M-tokens, 500 rows
RATIO=${RATIO:-1:1}                          # domain to general
MODEL=${MODEL:-smollm2}                      # that is trained
TRAIN=${TRAIN:-}                             # yes: train, small; without, trainings are planned
NAME=${NAME:-domain}                         # what all data sets' names begin with
DATA=${DATA:-data}                           # their folder

there=(--dataset-dir "$DATA" --output "$DATA")
step() { printf '\n== %s\n' "$*" >&2; }

step "doctor: what LLaMA-Factory would drop or lose; rows with a flaw are in no data set below"
curate doctor --input "$INPUT" || [ $? -eq 1 ]  # 1: there are findings

step "dedup: of what is alike one row stays"
curate dedup --input "$INPUT" --output "$DATA" --name "${NAME}_once" --show 0

if [ -n "$TEST" ]; then
  step "decontaminate: what will be tested on is in no row"
  curate decontaminate --dataset "${NAME}_once" --against "$TEST" "${there[@]}" --name "${NAME}_train"
else
  step "split: rows to test on, with no twin among the others"
  curate split --dataset "${NAME}_once" --test 10% "${there[@]}" --name "$NAME"
  TEST=$DATA/${NAME}_test.jsonl
fi

step "drop the broken: the tenth that the ranker takes for worst, empty, cut or looping answers"
curate score --dataset "${NAME}_train" --scorer reward "${there[@]}" --name "${NAME}_rewards" --show 0
curate select --dataset "${NAME}_train" --scores "$DATA/${NAME}_rewards.scores.parquet" --by reward \
  --keep 90% "${there[@]}" --name "${NAME}_sound" --show 0

step "choose: to a budget, with a control of as many tokens drawn at random"
recipe=(--recipe clusters)
if [ -n "$QUESTIONS" ]; then
  recipe=(--recipe like --like "$QUESTIONS")
fi
curate select --dataset "${NAME}_sound" "${recipe[@]}" --keep "$BUDGET" --with-control tokens \
  "${there[@]}" --name "${NAME}_choice" --show 0

worse=
for choice in "${NAME}_choice" "${NAME}_choice_random_tokens"; do
  step "mix: $choice with general rows"
  curate mix --domain "$choice" --general "$GENERAL" --ratio "$RATIO" "${there[@]}" --name "${choice}_mixed"
  step "train: on $choice, with the same settings as on the other"
  training=(--dataset-dir "$DATA" --dataset "${choice}_mixed" --model "$MODEL" --output "saves/$choice")
  if [ -z "$TRAIN" ]; then
    train sft "${training[@]}" --dry-run
    continue
  fi
  train sft "${training[@]}" --preset quick
  step "compare: the base model beside what was trained on $choice"
  if ! deploy compare --base "$MODEL" --tuned "saves/$choice" --prompts "$TEST" --judge pairs; then
    worse="$worse $choice"
  fi
done
if [ -n "$worse" ]; then
  step "worse than the base model, beyond doubt, or not compared:$worse; see reports/"
fi
