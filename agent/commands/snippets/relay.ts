// Sends the app's Segment settings and events through `android-replay relay` (or `attach --relay`) on the host,
// which reaches the phone by `adb reverse`. Spread it into createClient(): { writeKey, ...viaReplayRelay }.
//
// Use it in test builds only: without the relay running, nothing answers on this port. Then the SDK keeps the events
// and starts with the settings of its last run, or, on a first start, not at all.
//
// Android refuses plain http unless the build allows it: in the test build's network_security_config.xml,
//   <domain-config cleartextTrafficPermitted="true"><domain>localhost</domain></domain-config>
//
// For @segment/analytics-react-native 2.20.4 to 2.24.1:
export const viaReplayRelay = {
  proxy: 'http://localhost:8378/v1',
  cdnProxy: 'http://localhost:8378/v1',
  useSegmentEndpoints: true,
  // From 2.24.1 on plain http is refused without it; older versions do not know it.
  allowInsecureProxy: true,
};

// For 2.15 to 2.19, which take the address as it is:
export const viaReplayRelay215 = {
  proxy: 'http://localhost:8378/v1/b',
  cdnProxy: 'http://localhost:8378/v1',
};

// For 2.13, whose settings always come from Segment:
export const viaReplayRelay213 = {
  proxy: 'http://localhost:8378/v1/b',
};
