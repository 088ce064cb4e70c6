// The arithmetic the explorers show: softmax, one weight changed by hand, links and their errors.
(function (book) {
  "use strict";

  const sum = (values) => values.reduce((total, value) => total + value, 0);

  /** exp(score − largest) and its shares; positions where `allowed` is false get exactly 0. */
  function softmax(scores, allowed = scores.map(() => true)) {
    const largest = Math.max(...scores.filter((_, index) => allowed[index]));
    const powers = scores.map((score, index) => (allowed[index] ? Math.exp(score - largest) : 0));
    const total = sum(powers);
    return { powers, total, weights: powers.map((power) => power / total) };
  }

  /** Set one weight; the others keep their proportions and share what is left of 1. */
  function setWeight(weights, index, value) {
    const chosen = Math.min(1, Math.max(0, value));
    const others = sum(weights) - weights[index];
    const count = weights.length - 1;
    if (count === 0) return [1];
    return weights.map((weight, position) => {
      if (position === index) return chosen;
      return others > 1e-9 ? (weight * (1 - chosen)) / others : (1 - chosen) / count;
    });
  }

  /** Each target word's link: [source, target] of its largest weight, <eos> left out. */
  function hardLinks(rows, targetLength, sourceLength) {
    const links = [];
    rows.slice(0, targetLength).forEach((row, target) => {
      const words = Array.from(row).slice(0, sourceLength);
      const best = words.indexOf(Math.max(...words));
      if (words[best] > 0) links.push([best, target]);
    });
    return links;
  }

  /** 1 − (|A ∩ S| + |A ∩ P|) / (|A| + |S|), Och and Ney 2003; null if there are no links at all. */
  function alignmentErrorRate(links, sure, possible) {
    const key = ([source, target]) => `${source} ${target}`;
    const certain = new Set(sure.map(key));
    const allowed = new Set([...possible, ...sure].map(key));
    const total = links.length + certain.size;
    if (total === 0) return null;
    const found = links.map(key);
    const hits = found.filter((link) => certain.has(link)).length;
    return 1 - (hits + found.filter((link) => allowed.has(link)).length) / total;
  }

  /** Matrix times vector. */
  const times = (matrix, vector) =>
    matrix.map((row) => sum(row.map((value, column) => value * vector[column])));

  const sigmoid = (number) => 1 / (1 + Math.exp(-number));

  book.numbers = { sum, softmax, setWeight, hardLinks, alignmentErrorRate, times, sigmoid };
})((globalThis.attentionBook = globalThis.attentionBook || {}));
