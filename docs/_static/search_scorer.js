// Scores of search results: pages for users come before the reference. Replaces Sphinx's default scorer.
var Scorer = {
  // A result is [page, title, anchor, description, score, file, kind].
  score: ([page, , , , score]) => {
    if (/^(guides|faq|start|usage|formats|exports|models|machines|troubleshooting)/.test(page)) return 3 * score;
    if (/^(api|cli|glossary|maintaining)/.test(page)) return score / 3;
    return score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
