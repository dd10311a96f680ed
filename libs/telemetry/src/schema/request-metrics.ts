import { ALL } from './methods.js';
import { CALLERS, ERROR_KINDS, GROUP, type MetricSpec, PRIORITY, RPC, SECONDS, STAGE } from './metric-spec.js';

/** Of calls, pages, load and cells. */
export const REQUEST_METRICS = {
  // Calls.
  'rpc.server.call.duration': {
    kind: 'histogram',
    unit: 's',
    says: 'Calls answered, from arrival to the last byte handed to the transport.',
    roles: ALL,
    attributes: RPC,
    bounds: SECONDS,
  },
  'rpc.client.call.duration': {
    kind: 'histogram',
    unit: 's',
    says: 'Calls to other processes of the mesh.',
    roles: ['gateway'],
    attributes: RPC,
    bounds: SECONDS,
  },

  // Pages.
  'onepass.pages': {
    kind: 'counter',
    unit: '{page}',
    says: 'Pages made, by where the KV they were ranked with came from; none: not ranked.',
    roles: ['gateway'],
    attributes: { 'onepass.kv.source': ['none', 'empty', 'slot', 'append', 'recompute', 'tier'] },
  },
  'onepass.pages.degraded': {
    kind: 'counter',
    unit: '{page}',
    says: 'Pages answered degraded; one with several reasons counts under each.',
    roles: ['gateway'],
    attributes: {
      'onepass.degraded.reason': ['ranking', 'encoder', 'retrieval', 'history', 'coverage', 'switch'],
    },
  },
  'onepass.stage.duration': {
    kind: 'histogram',
    unit: 's',
    says: 'Stages of pages, as the gateway sees them.',
    roles: ['gateway'],
    attributes: STAGE,
    bounds: SECONDS,
  },
  'onepass.stage.failures': {
    kind: 'counter',
    unit: '{failure}',
    says: 'Stages that failed, whether or not there was a way around them.',
    roles: ['gateway'],
    attributes: { ...STAGE, 'error.type': ERROR_KINDS },
  },
  'onepass.calls.refused': {
    kind: 'counter',
    unit: '{call}',
    says: 'Calls that the policy did not let in, before they were read.',
    roles: ALL,
    attributes: {
      'onepass.caller': CALLERS,
      'onepass.refusal': ['no_certificate', 'unknown_caller', 'method', 'rate_limit', 'concurrency_limit'],
    },
  },
  'onepass.files.replaced': {
    kind: 'counter',
    unit: '{time}',
    says: 'New certificates, policies, switches and lists of cells found: taken, or broken and left.',
    roles: ALL,
    attributes: {
      'onepass.files': ['certificates', 'policy', 'switches', 'cells'],
      'onepass.files.outcome': ['taken', 'left'],
    },
  },
  'onepass.certificate.lifetime': {
    kind: 'gauge',
    unit: 's',
    says: 'For how long the certificate of this process is still good.',
    roles: ALL,
    attributes: {},
    when: 'TLS is on',
  },
  'onepass.switch': {
    kind: 'gauge',
    unit: '{switch}',
    says: 'Kill switches: 1 = on.',
    roles: ALL,
    attributes: { 'onepass.switch.name': ['popular_only', 'kv_reuse_off', 'tier_off', 'events_read_only', 'drain'] },
    when: 'ONEPASS_SWITCHES is set',
  },
  'onepass.slates': {
    kind: 'counter',
    unit: '{slate}',
    says: 'Served slates, by what became of them: recorded behind their answer, dropped because the store was slow or down, expired at the end of their days.',
    roles: ['gateway'],
    attributes: { 'onepass.slate.outcome': ['recorded', 'dropped', 'expired'] },
  },
  'onepass.slates.pending': {
    kind: 'gauge',
    unit: '{slate}',
    says: 'Served slates that wait to be recorded.',
    roles: ['gateway'],
    attributes: {},
  },
  'onepass.slates.remembered': {
    kind: 'gauge',
    unit: '{slate}',
    says: 'Slates kept to answer a repeated request id.',
    roles: ['gateway'],
    attributes: {},
  },

  // Load.
  'onepass.admission.in_flight': {
    kind: 'gauge',
    unit: '{call}',
    says: 'Calls that were admitted and are not answered.',
    roles: ALL,
    attributes: GROUP,
  },
  'onepass.admission.limit': {
    kind: 'gauge',
    unit: '{call}',
    says: 'Calls that may be in flight; of pages it adapts to what the mesh does.',
    roles: ALL,
    attributes: GROUP,
  },
  'onepass.admission.waiting': {
    kind: 'gauge',
    unit: '{call}',
    says: 'Calls that wait to be admitted.',
    roles: ALL,
    attributes: { ...GROUP, ...PRIORITY },
  },
  'onepass.admission.refusals': {
    kind: 'counter',
    unit: '{call}',
    says: 'Calls refused: late = would not be done by the deadline; full = too many wait; displaced = by a higher priority; expired = while waiting.',
    roles: ALL,
    attributes: {
      ...GROUP,
      'onepass.admission.refusal': ['late', 'full', 'displaced', 'expired'],
      ...PRIORITY,
    },
  },
  'onepass.admission.wait.duration': {
    kind: 'histogram',
    unit: 's',
    says: 'Waiting to be admitted, of calls that had to wait.',
    roles: ['gateway'],
    attributes: GROUP,
    bounds: SECONDS,
    when: 'a call waited to be admitted',
  },
  'onepass.admission.wait.predicted': {
    kind: 'histogram',
    unit: 's',
    says: 'What that waiting was predicted to be when the call came.',
    roles: ['gateway'],
    attributes: GROUP,
    bounds: SECONDS,
    when: 'a call waited to be admitted',
  },
  'onepass.retries': {
    kind: 'counter',
    unit: '{call}',
    says: 'Calls to stages that could not be reached: tried again, at the next cell where there is one, or denied by the retry budget.',
    roles: ['gateway'],
    attributes: { ...STAGE, 'onepass.retry.outcome': ['granted', 'denied'] },
  },
  'onepass.retries.left': {
    kind: 'gauge',
    unit: '{call}',
    says: 'Retries that the budget would grant now.',
    roles: ['gateway'],
    attributes: {},
  },

  // Cells.
  'onepass.cells': {
    kind: 'gauge',
    unit: '{cell}',
    says: 'Cells by what they are to this gateway: joining = with a growing share of their people; draining = nobody is sent there; passed_over = not reached.',
    roles: ['gateway'],
    attributes: { 'onepass.cell.state': ['joining', 'serving', 'draining', 'passed_over'] },
  },
  'onepass.cells.weight': {
    kind: 'gauge',
    unit: '{cell}',
    says: 'Cells that people are sent to, one that joins counted by its share.',
    roles: ['gateway'],
    attributes: {},
  },
  'onepass.pages.moved': {
    kind: 'counter',
    unit: '{page}',
    says: 'Pages made elsewhere than at the person’s own cell, by why: what that cell is, more under way there than it may have (load), or its loss while the page was made (lost).',
    roles: ['gateway'],
    attributes: { 'onepass.move.reason': ['joining', 'draining', 'passed_over', 'load', 'lost'] },
  },
} as const satisfies Readonly<Record<string, MetricSpec>>;
