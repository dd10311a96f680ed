import { EventService, type Implementation, type Switches } from '@onepass/contracts';
import { unavailable } from '@onepass/errors';

/** Every method of the EventService writes: refused while the switch `events_read_only` is on, so that nothing is acknowledged and not kept. */
export function unlessReadOnly(switches: Switches): (implementation: Implementation) => Implementation {
  return (implementation) => {
    if (implementation.service.typeName !== EventService.typeName) return implementation;
    const handlers: Record<string, Implementation['handlers'][string]> = {};
    for (const [name, handler] of Object.entries(implementation.handlers)) {
      handlers[name] = (request, call) => {
        if (switches.isOn('events_read_only')) {
          throw unavailable('the switch events_read_only is on: nothing is written');
        }
        return handler?.(request, call);
      };
    }
    return { ...implementation, handlers };
  };
}
