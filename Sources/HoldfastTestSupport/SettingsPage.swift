/// How Upsun's page "Back up an environment" changes a backup policy, as it is printed there.
///
/// Source: Upsun's documentation, "Back up an environment".
package enum SettingsPage {
    /// The bodies, comma before a closing bracket included.
    package static let bodies = [
        """
        {
               "data_retention": {
                  "production": {
                     "default_config": {
                        "schedule": [
                          {"interval": "1d", "count": 7},
                         ]
                      }
                   }
                }
              }
        """,
        """
        {
               "data_retention": {
                  "production": {
                     "default_config": {
                        "schedule": [
                          {"interval": "1d", "count": 7},
                          {"interval": "1w", "count": 4},
                          {"interval": "1M", "count": 12}
                         ]
                      }
                   }
                }
              }
        """,
        #"{"data_retention": {"production": {"max_backups": 10}}}"#,
        #"{"data_retention": {"production": {"default_config":  {"manual_count": 1}}}}"#,
    ]

    /// With the path that follows `project:curl` on the page.
    package static let examples = zip(["settings", "settings", "/settings", "/settings"], bodies).map {
        (path: $0, body: $1)
    }
}
