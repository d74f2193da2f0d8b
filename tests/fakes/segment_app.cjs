// An app that is nothing but its Segment SDK: the real package with the phone's native modules made here.
//
// Arguments: the relay's port, how many events at least, the file that takes the place of AsyncStorage. Prints one JSON
// line for each event after all plugins; when a line came to its standard input, {"done": true}. Goes on flushing until
// that input ends.
const fs = require('node:fs');
const Module = require('node:module');

const [, , port, count, file] = process.argv;
const put = process.stdout.write.bind(process.stdout);
for (const name of ['log', 'info', 'warn', 'error', 'debug']) {
  console[name] = (...words) => process.stderr.write(`${words.map(String).join(' ')}\n`);
}

const kept = new Map(fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : []);
const save = () => fs.writeFileSync(file, JSON.stringify([...kept]));
const storage = {
  getItem: async (key) => kept.get(key) ?? null,
  setItem: async (key, value) => { kept.set(key, value); save(); },
  removeItem: async (key) => { kept.delete(key); save(); },
};
const subscription = { remove() {} };
const info = {
  appName: 'Shop', appVersion: '1.2', buildNumber: '3', bundleId: 'com.example.shop', locale: 'de-DE', networkType: 'wifi',
  osName: 'Android', osVersion: '14', screenHeight: 900, screenWidth: 400, screenDensity: 2.625, timezone: 'Europe/Berlin',
  manufacturer: 'Google', model: 'Pixel', deviceName: 'panther', deviceType: 'android', deviceId: undefined,
};
const made = {
  'react-native': {
    AppState: { currentState: 'active', addEventListener: () => subscription },
    NativeEventEmitter: class { addListener() { return subscription; } },
    NativeModules: {
      AnalyticsReactNative: { getContextInfo: async () => info },
      Sovran: { addListener() {}, removeListeners() {} },
    },
    Platform: { OS: 'android', select: (choices) => choices.android ?? choices.default },
  },
  '@react-native-async-storage/async-storage': { __esModule: true, default: storage },
  react: { createContext: () => ({}), useContext: () => null, useMemo: (make) => make() },
};
const load = Module._load;
Module._load = (name, ...rest) => made[name] ?? load(name, ...rest);

const { createClient, Plugin, PluginType } = require('@segment/analytics-react-native');
const { AmplitudeSessionPlugin } = require('@segment/analytics-react-native-plugin-amplitude-session');

class Truth extends Plugin {
  type = PluginType.after;
  execute(event) {
    put(`${JSON.stringify(event)}\n`);
    return event;
  }
}

const client = createClient({
  writeKey: 'KEY',
  debug: true,
  flushAt: 5,
  flushInterval: 1,
  trackAppLifecycleEvents: true,
  proxy: `http://localhost:${port}/v1`,
  cdnProxy: `http://localhost:${port}/v1`,
  useSegmentEndpoints: true,
  allowInsecureProxy: true,
});
client.add({ plugin: new AmplitudeSessionPlugin() });
client.add({ plugin: new Truth() });

const pause = (ms) => new Promise((then) => setTimeout(then, ms));

async function main() {
  await client.identify('user-1', { plan: 'größe \u2028 😀', nested: { deep: [1, 2.5, -0, 1e21, null] } });
  for (let number = 0; number < Number(count) || !enough; number += 1) {
    if (number % 7 === 3) await client.screen(`Screen ${number}`, { number });
    else if (number % 11 === 5) await client.group(`group-${number}`, { number });
    else await client.track(`Event ${number}`, { number, big: 9007199254740991, 'odd "key"': ['x', { y: null }] });
    await pause(150);
  }
  put('{"done": true}\n');
}

let enough = false;
process.stdin.on('data', () => { enough = true; }).on('end', () => process.exit(0));
main();
