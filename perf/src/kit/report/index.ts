export { compare, compareToSummary, formatComparison, hasWorsened, widen, writeSummary } from './compare.js';
export * from './findings.js';
export { FIGURES, figureName, goalOf } from './goals.js';
export { formatHeadlines } from './headline-table.js';
export { figuresOf, type KitFigure, numbersOf } from './numbers.js';
export { formatPage, type PageOptions } from './page.js';
export { earlierFindings, openStore, type Store, type Subject } from './store.js';
export { GOOD_SHARE } from './sweeps-section.js';
export { writePage, writeReport } from './write-report.js';
