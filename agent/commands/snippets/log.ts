// Prints every Segment event as it is after all other plugins, for `android-replay attach`.
// For @segment/analytics-react-native 2.13 to 2.24; any version of React Native from 0.68 on.
// Add it once, after createClient(): addReplayLog(client).
//
// One text per line, ASCII, 3000 characters a line: Android cuts a log entry after 4052 bytes and never says so.
// A build that strips console.* (babel-plugin-transform-remove-console) strips these lines, too: keep console.log.
import { Plugin, PluginType, type SegmentClient, type SegmentEvent } from '@segment/analytics-react-native';

const PART = 3000;

function ascii(text: string): string {
  return text.replace(/[^ -~]/g, (unit) => '\\u' + ('000' + unit.charCodeAt(0).toString(16)).slice(-4));
}

class ReplayLog extends Plugin {
  type = PluginType.after;

  execute(event: SegmentEvent) {
    try {
      const text = ascii(JSON.stringify(event));
      const total = Math.ceil(text.length / PART);
      for (let part = 1; part <= total; part += 1) {
        const piece = text.slice((part - 1) * PART, part * PART);
        console.log(`SegmentReplay/1 ${event.messageId} ${part}/${total} ${piece}`);
      }
    } catch {
      // Logging must never cost the app an event.
    }
    return event;
  }
}

export function addReplayLog(client: SegmentClient) {
  client.add({ plugin: new ReplayLog() });
}
