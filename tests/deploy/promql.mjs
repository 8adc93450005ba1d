// What a PromQL expression selects, by Prometheus's own grammar.
import { parser } from '@prometheus-io/lezer-promql';

/**
 * The selectors and the labels of an expression: `{ selectors: [{ text, metric, labels }…], groupings: [{ labels,
 * metrics }…] }`; a grouping's metrics are those that its aggregation is over. Throws where it is no PromQL.
 */
export function read(expression) {
  const tree = parser.parse(expression);
  const text = ({ from, to }) => expression.slice(from, to);
  const below = (node, name) => {
    const found = [];
    node.cursor().iterate((one) => {
      if (one.name === name) found.push(one.node);
    });
    return found;
  };
  tree.cursor().iterate((node) => {
    if (node.type.isError) throw new Error(`no PromQL at ${node.from}: ${expression}`);
  });
  const metricOf = (selector) => text(selector.getChild('Identifier'));
  return {
    selectors: below(tree.topNode, 'VectorSelector').map((selector) => ({
      text: text(selector),
      metric: metricOf(selector),
      labels: below(selector, 'LabelName').map(text),
    })),
    groupings: below(tree.topNode, 'AggregateExpr').map((aggregation) => ({
      labels: below(aggregation.getChild('AggregateModifier') ?? aggregation.firstChild, 'LabelName').map(text),
      metrics: below(aggregation, 'VectorSelector').map(metricOf),
    })),
  };
}
