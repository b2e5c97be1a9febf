"""Where each dataset comes from: one file a source, and what sources share (`download`, `cache`, `encoded`, `folders`)."""
